"""Pictures in files: reading and writing them, folders of them as data sets, augmentation (needs Pillow)."""

from minicnn.images.augmented import ImageDataGenerator
from minicnn.images.files import array_to_img, img_to_array, load_img, save_img, smart_resize
from minicnn.images.folders import image_dataset_from_directory
from minicnn.images.iterators import FileIterator, NumpyArrayIterator
from minicnn.images.preprocessing import Preprocessing

__all__ = [
    "FileIterator",
    "ImageDataGenerator",
    "NumpyArrayIterator",
    "Preprocessing",
    "array_to_img",
    "image_dataset_from_directory",
    "img_to_array",
    "load_img",
    "save_img",
    "smart_resize",
]
